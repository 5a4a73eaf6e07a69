"""How providers and deployments are doing: breakers, cooldowns, retry budgets, hints between workers; probes, reports
of failures, and the incidents that come of them."""
