//go:build !race

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestCheckAllocatesNothing(t *testing.T) {
	c := policy.Call{Hooks: policy.Route | policy.Prompt, BodyLen: 10, Messages: 1}
	list := append(everyAction(), abi.AppendAction(nil, abi.Action{Tag: 999})...)
	twin := []byte(`{"target":"eu","set_headers":{"x-a":"1"},"kv_put":[{"key":"k","value":"v"}],"deny":{"status":429}}`)
	dst := make([]byte, 0, 4<<10)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		checked, _, err := policy.Check(dst, list, c)
		if err != nil || policy.Verdict(policy.WithoutHosted(checked)) != "deny" {
			panic(err)
		}
	}))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if _, _, err := policy.Check(dst, twin, c); err != nil {
			panic(err)
		}
	}))
}
