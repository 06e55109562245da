package e2e

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/origin/api"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/vault"
)

// The command line has types of its own for what the API says: each member that it reads must be one that the API
// writes, and of the same JSON type.
func TestCommandsReadWhatTheAPIWrites(t *testing.T) {
	for _, pair := range [][2]reflect.Type{
		{reflect.TypeFor[cli.Result](), reflect.TypeFor[control.Result]()},
		{reflect.TypeFor[cli.Resource](), reflect.TypeFor[control.Resource]()},
		{reflect.TypeFor[cli.VersionMade](), reflect.TypeFor[control.VersionMade]()},
		{reflect.TypeFor[cli.Promoted](), reflect.TypeFor[control.Promoted]()},
		{reflect.TypeFor[cli.Release](), reflect.TypeFor[control.Release]()},
		{reflect.TypeFor[cli.VersionDiff](), reflect.TypeFor[control.VersionDiff]()},
		{reflect.TypeFor[cli.VersionTotals](), reflect.TypeFor[control.VersionTotals]()},
		{reflect.TypeFor[cli.KeyMade](), reflect.TypeFor[control.KeyMade]()},
		{reflect.TypeFor[cli.Node](), reflect.TypeFor[fleet.Node]()},
		{reflect.TypeFor[cli.Fleet](), reflect.TypeFor[fleet.State]()},
		{reflect.TypeFor[cli.Invited](), reflect.TypeFor[api.Invited]()},
		{reflect.TypeFor[cli.Record](), reflect.TypeFor[api.Record]()},
		{reflect.TypeFor[cli.Past](), reflect.TypeFor[api.Past]()},
		{reflect.TypeFor[cli.Token](), reflect.TypeFor[vault.TokenInfo]()},
		{reflect.TypeFor[cli.TokenMade](), reflect.TypeFor[api.MadeToken]()},
		{reflect.TypeFor[cli.Signer](), reflect.TypeFor[vault.SignerInfo]()},
		{reflect.TypeFor[cli.Error](), reflect.TypeFor[api.FailureDetail]()},
	} {
		assertSubset(t, pair[0].String(), jsonShape(pair[0]), jsonShape(pair[1]))
	}
}

// What the command line sends must be all that the API takes: nothing that is not known there, and nothing left out.
func TestCommandsSendWhatTheAPIReads(t *testing.T) {
	for _, pair := range [][2]reflect.Type{
		{reflect.TypeFor[cli.NewVersion](), reflect.TypeFor[control.NewVersion]()},
		{reflect.TypeFor[cli.Promotion](), reflect.TypeFor[control.Promotion]()},
		{reflect.TypeFor[cli.Rollback](), reflect.TypeFor[control.Rollback]()},
		{reflect.TypeFor[cli.Invitation](), reflect.TypeFor[api.Invite]()},
	} {
		assert.Equal(t, jsonShape(pair[1]), jsonShape(pair[0]), pair[0].String())
	}
}

// jsonShape is what a type looks like in JSON: a map of members, a list of one shape, or the name of a JSON type.
func jsonShape(t reflect.Type) any {
	switch {
	case t.Kind() == reflect.Pointer:
		return jsonShape(t.Elem())
	case t == reflect.TypeFor[time.Time]() || t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()):
		return "string"
	case t == reflect.TypeFor[json.RawMessage]():
		return "any"
	}
	switch t.Kind() {
	case reflect.Struct:
		members := map[string]any{}
		addMembers(members, t)
		return members
	case reflect.Slice:
		return []any{jsonShape(t.Elem())}
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Float64:
		return "number"
	}
	return "integer"
}

func addMembers(members map[string]any, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			addMembers(members, f.Type)
		case f.IsExported() && name != "-":
			members[name] = jsonShape(f.Type)
		}
	}
}

func assertSubset(t *testing.T, at string, part, whole any) {
	t.Helper()
	switch p := part.(type) {
	case map[string]any:
		w, is := whole.(map[string]any)
		if !assert.True(t, is, at) {
			return
		}
		for name, shape := range p {
			if assert.Contains(t, w, name, at) {
				assertSubset(t, at+"."+name, shape, w[name])
			}
		}
	case []any:
		if w, is := whole.([]any); assert.True(t, is, at) {
			assertSubset(t, at+"[]", p[0], w[0])
		}
	default:
		assert.Equal(t, whole, part, at)
	}
}
