package openai

import "github.com/wedge-proxy/wedge/proxy/dialect"

func readChatReply(op dialect.Op, body []byte, r *dialect.Reply) error {
	return noForm("answer", op)
}
func appendChatReply(dst []byte, r *dialect.Reply) ([]byte, error) {
	return dst, noForm("answer", dialect.OpChat)
}
func appendTextReply(dst []byte, r *dialect.Reply) ([]byte, error) {
	return dst, noForm("answer", dialect.OpCompletions)
}
func readChunk(op dialect.Op, st *dialect.Reading, data []byte, events []dialect.Event) ([]dialect.Event, error) {
	return events, noForm("event", op)
}
func appendChunk(dst []byte, op dialect.Op, st *dialect.Writing, e *dialect.Event) []byte { return dst }
func readEmbedding(body []byte, e *dialect.Embedding) error {
	return noForm("request", dialect.OpEmbeddings)
}
func appendEmbedding(dst []byte, e *dialect.Embedding, model string) ([]byte, dialect.FieldSet, error) {
	return dst, 0, noForm("request", dialect.OpEmbeddings)
}
func readVectors(body []byte, v *dialect.Vectors) error {
	return noForm("answer", dialect.OpEmbeddings)
}
func appendVectors(dst []byte, v *dialect.Vectors, asked *dialect.Embedding, model string) ([]byte, error) {
	return dst, noForm("answer", dialect.OpEmbeddings)
}
