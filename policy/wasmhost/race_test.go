//go:build race

package wasmhost

import "time"

// slack is how late a guest may be stopped: here the detector slows the node's part down.
const slack = 50 * time.Millisecond
