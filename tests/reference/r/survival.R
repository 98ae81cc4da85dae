# What R's survival package makes of the cohorts beside this file: Rscript survival.R cohorts.csv > answers.csv
# cohorts.csv: cohort, alpha, prompt, duration, event (0 window, 1 died, 2 ended), after, until (empty: no end).
suppressPackageStartupMessages(library(survival))
options(digits = 15)
all <- read.csv(commandArgs(trailingOnly = TRUE)[1])
cat("cohort,name,alpha,t,value\n")
say <- function(cohort, name, alpha, t, value) {
  cat(sprintf("%s,%s,%s,%s,%.12g\n", cohort, name, alpha, t, value), sep = "")
}
for (name in unique(all$cohort)) {
  d <- all[all$cohort == name, ]
  times <- c(0, 3, 8, 20, 40, 64)
  for (alpha in unique(d$alpha)) {
    own <- d[d$alpha == alpha, ]
    km <- survfit(Surv(duration, event == 1) ~ 1, data = own)
    say(name, "survival", alpha, times, summary(km, times = times, extend = TRUE)$surv)
    aj <- survfit(Surv(duration, factor(event, levels = 0:2)) ~ 1, data = own)
    shares <- summary(aj, times = times, extend = TRUE)$pstate
    say(name, "died", alpha, times, shares[, 2])
    say(name, "ended", alpha, times, shares[, 3])
  }
  doses <- sort(unique(d$alpha))
  two <- d[d$alpha %in% doses[1:2], ]
  say(name, "logrank", "", "", survdiff(Surv(duration, event == 1) ~ alpha, data = two)$chisq)
  d$x <- log(d$alpha) / log(1.1)
  cox <- coxph(Surv(duration, event == 1) ~ x, data = d, ties = "efron")
  say(name, "cox", "", "", coef(cox))
  say(name, "cox_se", "", "", sqrt(vcov(cox)[1, 1]))
  # T + 1 in (after + 1, until + 1]; a lower end of 0 is a time below the upper one.
  low <- ifelse(d$after < 0, NA, d$after + 1)
  high <- ifelse(is.na(d$until), NA, d$until + 1)
  for (dist in c("weibull", "loglogistic")) {
    fit <- survreg(Surv(low, high, type = "interval2") ~ x, data = d, dist = dist,
                   control = survreg.control(rel.tolerance = 1e-12, maxiter = 200))
    say(name, paste0("aft_", dist), "", "", coef(fit)[2])
    say(name, paste0("aft_", dist, "_loglik"), "", "", fit$loglik[2])
  }
}
