"""The store as the batch uses it: connection, lease, transactions, bytes on the wire, the embedded server."""
