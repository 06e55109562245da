package proxy

import (
	"bytes"
	"encoding/json"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// listModels answers GET of the list of the models that the key may use, and of each, as the client's dialect has it.
func (x *exchange) listModels(rest []byte) *dialect.Error {
	if e := x.method("GET"); e != nil {
		return e
	}
	if e := x.authenticate(); e != nil {
		return e
	}
	d, created := x.s.o.Dialects.Codecs[x.client], x.snap.Loaded.Unix()
	if name := bytes.TrimPrefix(rest, []byte("/")); len(name) > 0 {
		m := x.snap.table.Model(name)
		if m == nil || !x.who.allows(m.Name) {
			return fail(codeUnknownModel, "model", "model "+quoteShort(name)+" is not among the models of this key")
		}
		x.out = d.AppendModel(x.out[:0], m.Name, created)
	} else {
		var names []string
		for _, m := range x.snap.table.Models() {
			if x.who.allows(m.Name) {
				names = append(names, m.Name)
			}
		}
		x.out = d.AppendModels(x.out[:0], names, created)
	}
	x.answerJSON()
	return nil
}

// answerJSON answers with x.out.
func (x *exchange) answerJSON() {
	x.setHeaders()
	x.ctx.Response.Header.SetContentTypeBytes(valueJSON)
	x.sendOut()
}

// feedback is the body of POST /v1/feedback.
type feedback struct {
	RequestID string   `json:"request_id"`
	Score     *float64 `json:"score"`
	Label     string   `json:"label"`
	Comment   string   `json:"comment"`
}

// takeFeedback counts a score for a recent request of the caller's tenant, by version and arm. A request counts once.
func (x *exchange) takeFeedback() *dialect.Error {
	if e := x.method("POST"); e != nil {
		return e
	}
	if e := x.authenticate(); e != nil {
		return e
	}
	f, e := parseFeedback(x.ctx.Request.Body())
	if e != nil {
		return e
	}
	seq, ok := x.s.ids.parse([]byte(f.RequestID))
	r, found, first := x.s.explain.score(seq, []byte(f.RequestID), x.who.Tenant)
	if !ok || !found {
		return fail(codeNotFound, "request_id", "request "+quoteShort([]byte(f.RequestID))+" is not among the recent requests of this key's tenant")
	}
	if first {
		x.s.metrics.feedback.With(r.label, r.version, r.experiment, r.arm).Inc()
		x.s.metrics.score.With(r.label, r.version, r.experiment, r.arm).Add(int64(*f.Score * 1e6))
	}
	x.out, _ = json.Marshal(map[string]any{
		"object": "feedback", "request_id": f.RequestID, "counted": first,
		"model": r.model, "version": r.version, "experiment": r.experiment, "arm": r.arm,
	})
	x.answerJSON()
	return nil
}

func parseFeedback(body []byte) (*feedback, *dialect.Error) {
	var f feedback
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fail(codeInvalidJSON, "", "the feedback is not a JSON object of request_id, score, label and comment: "+err.Error())
	}
	switch {
	case f.RequestID == "":
		return nil, fail(codeInvalidRequest, "request_id", "the feedback names no request_id; send the x-request-id of the answer")
	case f.Score == nil || !(*f.Score >= 0 && *f.Score <= 1):
		return nil, fail(codeInvalidRequest, "score", "the feedback needs a score from 0 to 1")
	}
	return &f, nil
}
