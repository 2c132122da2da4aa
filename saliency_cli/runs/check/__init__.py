"""`saliency check` and `saliency init`: a policy, a baseline, rules, verdicts."""
