"""Work without Kubernetes: docker-compose.yml."""
