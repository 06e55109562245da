package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// documentOf is what the API tells of itself, as a client reads it.
func documentOf(t *testing.T) (document object, all []route) {
	s := newServer(t)
	a := s.as(vault.Viewer, get, pathOpenAPI, "").is(http.StatusOK)
	assert.Equal(t, mediaJSON, a.header.Get("Content-Type"))
	a.into(&document)
	return document, s.api.routes
}

// at is what a pointer such as /info/title leads to, nil where it leads nowhere.
func at(document any, pointer string) any {
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		o, is := document.(object)
		if !is {
			return nil
		}
		document = o[step]
	}
	return document
}

// visit calls f for every object in a value.
func visit(v any, f func(o object)) {
	switch v := v.(type) {
	case object:
		f(v)
		for _, member := range v {
			visit(member, f)
		}
	case []any:
		for _, item := range v {
			visit(item, f)
		}
	}
}

func TestDocumentHasEveryRoute(t *testing.T) {
	document, all := documentOf(t)
	assert.Equal(t, "3.1.0", document["openapi"])
	n := 0
	for i := range all {
		r := &all[i]
		path := strings.ReplaceAll(r.path, "...}", "}")
		operation, is := at(document, "/paths/"+strings.ReplaceAll(path, "/", "~1")+"/"+strings.ToLower(r.method)).(object)
		require.True(t, is, "%s %s is not in the document", r.method, r.path)
		assert.Equal(t, r.about, operation["summary"])
		assert.Equal(t, r.role == anyone, len(operation["security"].([]any)) == 0)
		n++
	}
	for _, operations := range document["paths"].(object) {
		n -= len(operations.(object))
	}
	assert.Zero(t, n, "the document and the table have as many operations")
}

// The rules of OpenAPI 3.1 that this document could break.
func TestDocumentIsValid(t *testing.T) {
	document, _ := documentOf(t)
	references, ids := 0, map[string]bool{}
	visit(document, func(o object) {
		if to, is := o["$ref"].(string); is {
			references++
			assert.NotNil(t, at(document, strings.TrimPrefix(to, "#")), "%s leads nowhere", to)
			assert.Len(t, o, 1)
		}
		if required, is := o["required"].([]any); is {
			for _, name := range required {
				assert.Contains(t, o["properties"], name)
			}
		}
		if kind, is := o["type"].(string); is && o["in"] == nil {
			assert.Contains(t, []string{"string", "integer", "number", "boolean", "array", "object", "http"}, kind)
		}
	})
	assert.Greater(t, references, 50)
	placeholder := regexp.MustCompile(`\{(\w+)\}`)
	for path, operations := range document["paths"].(object) {
		assert.Regexp(t, `^/`, path)
		for _, operation := range operations.(object) {
			o := operation.(object)
			id := o["operationId"].(string)
			assert.Regexp(t, `^[a-z0-9_]+$`, id)
			assert.False(t, ids[id], "two operations are called %s", id)
			ids[id] = true
			assert.NotEmpty(t, o["responses"])
			var inPath, names []string
			parameters, _ := o["parameters"].([]any)
			for _, p := range parameters {
				p := p.(object)
				where := p["in"].(string) + " " + p["name"].(string)
				assert.NotContains(t, names, where)
				names = append(names, where)
				assert.NotEmpty(t, p["schema"])
				if p["in"] == "path" {
					inPath = append(inPath, p["name"].(string))
					assert.Equal(t, true, p["required"])
				}
			}
			var want []string
			for _, found := range placeholder.FindAllStringSubmatch(path, -1) {
				want = append(want, found[1])
			}
			assert.Equal(t, want, inPath, path)
		}
	}
}

// A schema tells the members that encoding/json writes, and which of them are always there.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	document, _ := documentOf(t)
	for name, want := range map[string]struct{ properties, required string }{
		"Result":      {"changes dry_run epoch gates rev revisions", "changes epoch rev"},
		"VersionMade": {"bump changes dry_run epoch gates hash model rev revisions version why", "bump changes epoch hash model rev version why"},
		"Promotion":   {"at canary dry_run max_error_rate min_requests model skip to version window", ""},
		"NodePage":    {"items next", "items"},
		"Failure":     {"error", "error"},
	} {
		schema, is := at(document, "/components/schemas/"+name).(object)
		require.True(t, is, name)
		var properties, required []string
		for p := range schema["properties"].(object) {
			properties = append(properties, p)
		}
		slices.Sort(properties)
		all, _ := schema["required"].([]any)
		for _, r := range all {
			required = append(required, r.(string))
		}
		assert.Equal(t, want.properties, strings.Join(properties, " "), name)
		assert.Equal(t, want.required, strings.Join(required, " "), name)
	}
	assert.Equal(t, object{"type": "string"}, at(document, "/components/schemas/Promotion/properties/window"))
	assert.Equal(t, object{"type": "string", "format": "date-time"}, at(document, "/components/schemas/Promotion/properties/at"))
	assert.Equal(t, len(codes), len(at(document, "/components/schemas/FailureDetail/properties/code/enum").([]any)))
}

// Every answer's JSON has a schema in which it fits: no member is missing there.
func fits(t *testing.T, document object, schema object, value any) {
	t.Helper()
	if to, is := schema["$ref"].(string); is {
		schema = at(document, strings.TrimPrefix(to, "#")).(object)
	}
	switch v := value.(type) {
	case object:
		if schema["properties"] == nil {
			return // any value
		}
		for name, member := range v {
			property, known := schema["properties"].(object)[name].(object)
			require.True(t, known, "%s is not in the schema %v", name, schema)
			fits(t, document, property, member)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			require.Contains(t, v, name)
		}
	case []any:
		if len(schema) > 0 {
			require.Equal(t, "array", schema["type"])
			for _, item := range v {
				fits(t, document, schema["items"].(object), item)
			}
		}
	case nil:
		require.Empty(t, schema, "null fits only where anything does")
	default:
		if kind, is := schema["type"].(string); is {
			require.Contains(t, map[reflect.Kind][]string{
				reflect.String: {"string"}, reflect.Bool: {"boolean"}, reflect.Float64: {"number", "integer"},
			}[reflect.TypeOf(v).Kind()], kind)
		}
	}
}

// fitsRoute checks an answer against the document.
func fitsRoute(t *testing.T, document object, method, pattern string, body []byte) {
	t.Helper()
	operation := at(document, "/paths/"+strings.ReplaceAll(pattern, "/", "~1")+"/"+strings.ToLower(method)).(object)
	for status, response := range operation["responses"].(object) {
		if status == "default" {
			continue
		}
		schema, is := at(response, "/content/application~1json/schema").(object)
		require.True(t, is, "%s %s tells no schema", method, pattern)
		var value any
		require.NoError(t, json.Unmarshal(body, &value))
		fits(t, document, schema, value)
	}
}
