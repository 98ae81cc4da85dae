"""What Snakemake needs of the library: jobs, digests of code, progress."""
