"""What iocmng costs and how fast it is: `python -m benchmarks.run`. See docs/performance.md."""
