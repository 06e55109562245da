package openai

import "github.com/wedge-proxy/wedge/proxy/dialect"

// readResponses reads a request of the responses API.
func readResponses(_ []byte, _ *dialect.Chat) error { return noForm("request", dialect.OpResponses) }

// appendResponse appends a whole response.
func appendResponse(dst []byte, _ *dialect.Reply) ([]byte, error) {
	return dst, noForm("answer", dialect.OpResponses)
}

// readResponse reads a whole response.
func readResponse(_ []byte, _ *dialect.Reply) error { return noForm("answer", dialect.OpResponses) }

// appendResponseEvent appends the events that tell e.
func appendResponseEvent(dst []byte, _ *dialect.Writing, _ *dialect.Event) []byte { return dst }

// responsesFieldName is what the responses API calls a field.
func responsesFieldName(_ dialect.Field) string { return "" }
