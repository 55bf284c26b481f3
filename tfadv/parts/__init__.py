"""What attacks are composed of: objectives, views, gradient estimates, rules, budgets, regions and starts."""
