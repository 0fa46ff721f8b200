"""What running a service needs beside the catalogue: accounts, keys, jobs and logs."""
