// Package sdk tests that the official OpenAI SDKs, unmodified, work through a running wedge binary; it knows no package
// of the product.
package sdk
