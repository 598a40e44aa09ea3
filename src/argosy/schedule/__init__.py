"""Who runs next: a pure policy and the bookkeeping around it."""
