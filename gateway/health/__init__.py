"""How deployments are doing: breakers, cooldowns, retry budgets, and what workers tell each other of them."""
