"""What attacks are composed of: objectives, views, rules, budgets, regions and starts."""
