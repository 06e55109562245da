//go:build !race

package abi_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestViewsAllocateNothing(t *testing.T) {
	r, c, p, d := fullRequest(), chunkCases()[2].view, responseCases()[1].view, doneCases()[1].view
	dst := make([]byte, 4<<10)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		r.Put(dst[:r.Size(every)], every)
		c.Put(dst[:c.Size()])
		p.Put(dst[:p.Size()])
		d.Put(dst[:d.Size()])
	}))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		r.AppendJSON(dst[:0], every)
		c.AppendJSON(dst[:0])
		p.AppendJSON(dst[:0])
		d.AppendJSON(dst[:0])
	}))
}

func TestListsAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 4<<10)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		list := abi.AppendSetHeader(abi.AppendTarget(dst, "eu"), "x-team", "blue")
		list = abi.AppendPatches(list, abi.Patch{Offset: 1, Delete: 2})
		for len(list) > 0 {
			_, rest, err := abi.Next(list)
			if err != nil {
				panic(err)
			}
			list = rest
		}
	}))
}
