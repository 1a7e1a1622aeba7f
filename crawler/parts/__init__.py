"""From a detector's findings to the parts of a record: `whole` puts together what the other modules make."""
