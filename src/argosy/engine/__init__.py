"""Durable execution of a graph: a pure core, and the shell that carries its commands out."""
