package sim

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// batch is a batch that is over: this provider answers all lines when it takes the batch.
type batch struct {
	id, endpoint, input, output, window string
	metadata                            string // JSON
	created                             int64
	done, failed                        int
}

// postBatch answers POST /v1/batches.
func postBatch(s *Server, ctx *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	var p fastjson.Parser
	v, err := p.ParseBytes(ctx.Request.Body())
	if err != nil {
		return nil, &openaiManners.notJSON
	}
	for _, key := range [...]string{"input_file_id", "endpoint", "completion_window"} {
		if len(v.GetStringBytes(key)) == 0 {
			return nil, missing(key)
		}
	}
	b := batch{
		endpoint: string(v.GetStringBytes("endpoint")), input: string(v.GetStringBytes("input_file_id")),
		window: string(v.GetStringBytes("completion_window")), created: time.Now().Unix(), metadata: "null",
	}
	if m := field(v, "metadata"); m != nil {
		b.metadata = string(m.MarshalTo(nil))
	}
	in, ok := s.files.get(b.input)
	if !ok {
		return nil, noSuch("File", b.input)
	}
	out := file{name: "output.jsonl", purpose: "batch_output", content: s.runBatch(&b, in.content)}
	b.output = s.files.add(out, s.brain.seed).id
	b = s.files.addBatch(b, s.brain.seed)
	reply := &answer{status: 200, contentType: typeJSON}
	reply.putBatch(b)
	return reply, nil
}

func (fs *fileStore) addBatch(b batch, seed uint64) batch {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.serial++
	r := rng(mix(seed ^ fs.serial<<1))
	b.id = r.hex("batch_", 32)
	fs.batches = append(fs.batches, b)
	if len(fs.batches) > maxFiles {
		fs.batches = append(fs.batches[:0:0], fs.batches[1:]...)
	}
	return b
}

func (fs *fileStore) listBatches() []batch {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return append([]batch(nil), fs.batches...)
}

// runBatch answers every line of input and returns the lines of the output.
func (s *Server) runBatch(b *batch, input []byte) []byte {
	var out []byte
	var p, inner fastjson.Parser
	for line := range bytes.Lines(input) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		status, body, custom := 400, openai{}.appendError(nil, &openaiManners.notJSON), "null"
		if v, err := p.ParseBytes(line); err == nil {
			if id := v.Get("custom_id"); id != nil {
				custom = id.String()
			}
			status, body = s.runLine(&inner, b.endpoint, v.Get("body"))
		}
		if status == 200 {
			b.done++
		} else {
			b.failed++
		}
		serial := rng(mix(s.brain.seed ^ uint64(b.done+b.failed)))
		out = append(out, `{"id":"`+serial.hex("batch_req_", 24)+`","custom_id":`+custom+`,"response":{"status_code":`...)
		out = appendInt(out, status)
		out = append(out, `,"request_id":"`+serial.hex("req_", 32)+`","body":`...)
		out = append(out, bytes.TrimSpace(body)...)
		out = append(out, "},\"error\":null}\n"...)
	}
	return out
}

func (s *Server) runLine(p *fastjson.Parser, endpoint string, body *fastjson.Value) (int, []byte) {
	f := &failure{status: 404, kind: "invalid_request_error", message: "Invalid URL (POST " + endpoint + ")"}
	for _, rt := range s.routes[endpoint] {
		if rt.plan == nil || body == nil {
			continue
		}
		a, failed := s.planJSON(p, rt, body.MarshalTo(nil), &query{own: &settings{}})
		if failed == nil && !a.stream {
			return a.status, a.body
		}
		f = failed
		if failed == nil {
			f = invalid("stream", "", "A line of a batch cannot be streamed.")
		}
	}
	return f.status, openai{}.appendError(nil, f)
}

func (a *answer) putBatch(b batch) {
	a.put(`{"id":"` + b.id + `","object":"batch","endpoint":`)
	a.putJSON(b.endpoint)
	a.put(`,"errors":null,"input_file_id":`)
	a.putJSON(b.input)
	a.put(`,"completion_window":`)
	a.putJSON(b.window)
	a.put(`,"status":"completed","output_file_id":"` + b.output + `","error_file_id":null,"created_at":`)
	a.putInt(int(b.created))
	a.put(`,"completed_at":`)
	a.putInt(int(b.created))
	a.put(`,"request_counts":{"total":`)
	a.putInt(b.done + b.failed)
	a.put(`,"completed":`)
	a.putInt(b.done)
	a.put(`,"failed":`)
	a.putInt(b.failed)
	a.put(`},"metadata":` + b.metadata + "}")
}

// getBatches answers GET /v1/batches, the newest first.
func getBatches(s *Server, _ *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	list := s.files.listBatches()
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"object":"list","data":[`)
	for i := range list {
		if i > 0 {
			out.put(",")
		}
		out.putBatch(list[len(list)-1-i])
	}
	out.put(`],"has_more":false}`)
	return out, nil
}

// getBatch answers GET /v1/batches/{id}.
func getBatch(s *Server, _ *fasthttp.RequestCtx, id string) (*answer, *failure) {
	for _, b := range s.files.listBatches() {
		if b.id == id {
			out := &answer{status: 200, contentType: typeJSON}
			out.putBatch(b)
			return out, nil
		}
	}
	return nil, noSuch("Batch", id)
}
