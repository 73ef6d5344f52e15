// Lets actors.go declare a function without a body.
