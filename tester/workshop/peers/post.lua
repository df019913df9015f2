-- What wrk sends to /echo: 1 KB, the same each time.
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
