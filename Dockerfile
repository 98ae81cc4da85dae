# The pinned environment and the workflow; see docs/cluster.md.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /steerdose
COPY Makefile requirements.txt ./
RUN make .venv/stamp
COPY . .
RUN touch .venv/stamp
CMD ["make", "survival"]
