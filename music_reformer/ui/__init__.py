"""The page: what a composer sees in the browser, and the server behind it."""
