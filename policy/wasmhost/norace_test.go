//go:build !race

package wasmhost

import "time"

// slack is how late a guest may be stopped.
const slack = 2 * time.Millisecond
