// Package e2e tests the wedge binary from outside, through sockets and files, as its users see it; it knows no
// package of the product.
package e2e
