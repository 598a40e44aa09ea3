"""HTTP between Argosy's own processes: the server shell they share, and a small client."""
