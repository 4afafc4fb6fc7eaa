"""What dbkit costs beside the bare driver and beside what people use today: `make bench`."""
