package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// object is an object of JSON.
type object = map[string]any

// document describes routes as OpenAPI 3.1 does, in JSON.
func document(routes []route, version string) ([]byte, error) {
	s := newSchemas(routes)
	paths := object{}
	for i := range routes {
		r := &routes[i]
		path := strings.ReplaceAll(r.path, "...}", "}")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(r.method)] = r.operation(s)
	}
	failure := s.of(typeFailure)
	s.named["FailureDetail"].(object)["properties"].(object)["code"] = object{"type": "string", "enum": codes}
	if version == "" {
		version = "unknown"
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Wedge origin", "version": version,
			"description": "Names in paths are escaped: a / in a name is %2F. What is not known is refused: members of bodies as well as parameters.",
		},
		"paths": paths,
		"components": object{
			"schemas":         s.named,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "A token of this origin. Its role has to be the operation's x-role or a higher one: viewer, operator, admin."}},
			"responses":       object{"Failure": object{"description": "It was not done.", "content": object{mediaJSON: object{"schema": failure}}}},
		},
	}, "", " ")
}

// operation describes one route.
func (r *route) operation(s *schemas) object {
	success := object{"description": http.StatusText(r.status)}
	switch {
	case r.gives != nil:
		success["content"] = object{mediaJSON: object{"schema": s.of(r.gives)}}
	default:
		success["content"] = object{r.answer: object{}}
	}
	o := object{
		"summary": r.about, "operationId": r.id(),
		"responses": object{strconv.Itoa(r.status): success, "default": object{"$ref": "#/components/responses/Failure"}},
		"security":  []any{},
		"tags":      []string{r.tag()},
	}
	if r.method == put { // which makes what is not there
		o["responses"].(object)["201"] = success
	}
	if r.role != anyone {
		o["security"], o["x-role"] = []any{object{"token": []string{}}}, r.role
	}
	switch {
	case r.takes != nil:
		o["requestBody"] = object{"content": object{mediaJSON: object{"schema": s.of(r.takes)}}}
	case r.media != "":
		o["requestBody"] = object{"required": true, "content": object{r.media: object{}}}
	}
	if parameters := r.parameters(); len(parameters) > 0 {
		o["parameters"] = parameters
	}
	return o
}

// tag is what the operation belongs to: the first part of its path.
func (r *route) tag() string {
	path, ok := strings.CutPrefix(r.path, v1)
	if !ok {
		return "system"
	}
	tag, _, _ := strings.Cut(path, "/")
	return tag
}

var wildcard = regexp.MustCompile(`\{(\w+)(?:\.\.\.)?\}`)

// id names the operation: its method and path as one word.
func (r *route) id() string {
	path := strings.TrimPrefix(wildcard.ReplaceAllString(r.path, "by_$1"), v1)
	return strings.ToLower(r.method) + "_" + strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(strings.Trim(path, "/"))
}

func (r *route) parameters() (all []object) {
	text := object{"type": "string"}
	for _, found := range wildcard.FindAllStringSubmatch(r.path, -1) {
		all = append(all, object{"name": found[1], "in": "path", "required": true, "schema": text})
	}
	for _, p := range r.params() {
		all = append(all, object{"name": p.name, "in": "query", "description": p.about, "schema": object{"type": p.kind}})
	}
	headers := map[string]string{}
	if r.changes() {
		headers["X-Reason"] = "why, for the audit trail"
	}
	if r.changes() && r.media != mediaBytes && r.answer != mediaBytes {
		headers["Idempotency-Key"] = "makes it safe to send the request again: for 24 hours the same key gets the same answer, and does nothing"
	}
	if r.guards {
		headers["If-Match"] = "the ETag that the resource must have"
	}
	if r.guards && r.method == put {
		headers["If-None-Match"] = "*: the resource must not be there yet"
	}
	if r.path == pathChanges {
		headers["Last-Event-ID"] = "the id of the last event that arrived"
	}
	for _, name := range []string{"X-Reason", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"} {
		if about := headers[name]; about != "" {
			all = append(all, object{"name": name, "in": "header", "description": about, "schema": text})
		}
	}
	return all
}
