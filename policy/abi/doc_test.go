package abi_test

import (
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

const doc = "../../docs/ABI.md"

// dumpLine is an offset, bytes, and what they are.
var dumpLine = regexp.MustCompile(`^([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2})\s+│ .+$`)

// dump reads the annotated bytes under a heading of docs/ABI.md.
func dump(t *testing.T, heading string) (out []byte) {
	b, err := os.ReadFile(doc)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(b), "\n### "+heading+"\n")
	require.True(t, ok, heading)
	_, rest, ok = strings.Cut(rest, "```text\n")
	require.True(t, ok, heading)
	block, _, ok := strings.Cut(rest, "```")
	require.True(t, ok, heading)
	for line := range strings.Lines(block) {
		part := dumpLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		require.NotNil(t, part, line)
		at, err := strconv.ParseUint(part[1], 16, 16)
		require.NoError(t, err)
		require.Equal(t, len(out), int(at), line)
		b, err := hex.DecodeString(strings.ReplaceAll(part[2], " ", ""))
		require.NoError(t, err)
		out = append(out, b...)
	}
	return out
}

func TestDocView(t *testing.T) {
	r := abi.Request{
		Flags: abi.FlagStream, ID: 7, UnixMS: 1_795_386_248_123, PrefixHash: 0x1122334455667788, Random: 0x99aabbccddeeff00,
		PromptTokens: 12, Messages: 1, Temperature: 0.5,
		Model: []byte("bot"), Tenant: []byte("acme"), Endpoint: []byte("/v1/messages"), Version: []byte("1.0.0"),
		Headers: []abi.Pair{{Name: []byte("accept-language"), Value: []byte("fr")}},
	}
	view := make([]byte, r.Size(abi.CapHeaders))
	r.Put(view, abi.CapHeaders)
	assert.Equal(t, hex.Dump(view), hex.Dump(dump(t, "Example: a request view")))
}

func TestDocList(t *testing.T) {
	list := abi.AppendTarget(nil, "eu")
	abi.MarkCritical(list, 0)
	list = abi.AppendSetHeader(list, "x-lang", "fr")
	list = abi.AppendTimeout(list, 20_000)
	assert.Equal(t, hex.Dump(list), hex.Dump(dump(t, "Example: an action list")))
}

// TestDocNamesEveryAction holds the table of actions against the tags.
func TestDocNamesEveryAction(t *testing.T) {
	b, err := os.ReadFile(doc)
	require.NoError(t, err)
	for tag := abi.TagTarget; tag <= abi.TagStop; tag++ {
		assert.Contains(t, string(b), "\n| "+strconv.Itoa(int(tag))+" | `"+tag.String()+"` |")
	}
}
