package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// SetStatus gives an experiment another status.
func (s *Session) SetStatus(ctx context.Context, experiment, status string) error {
	err := s.edit(ctx, at("experiments", experiment), "status", status)
	if err != nil {
		return fmt.Errorf("cannot make the experiment %s %s: %w", experiment, status, err)
	}
	return nil
}

// PushPolicy gives a policy another module.
func (s *Session) PushPolicy(ctx context.Context, policy, file string) error {
	code, err := readFile("the module", file)
	if err != nil {
		return fmt.Errorf("cannot push the policy %s: %w", policy, err)
	}
	digest := digestOf(code)
	if _, err := s.Client.Blob(ctx, digest, code); err != nil {
		return fmt.Errorf("cannot send the module of policy %s: %w", policy, err)
	}
	if err := s.edit(ctx, at("policies", policy), "module", digest); err != nil {
		return fmt.Errorf("cannot push the policy %s: %w", policy, err)
	}
	return nil
}

// edit sets a field of a resource, unless the resource was changed by others in the meantime, and prints what became of
// it.
func (s *Session) edit(ctx context.Context, path, field, value string) error {
	answer, err := s.get(ctx, path, nil)
	if err != nil {
		return err
	}
	var r Resource
	if err := json.Unmarshal(answer, &r); err != nil {
		return s.notUnderstood(err)
	}
	b := bodyOf(r.Body)
	if b == nil {
		return s.notUnderstood(fmt.Errorf("%s has no body", path))
	}
	if b[field], err = json.Marshal(value); err != nil {
		return fmt.Errorf("cannot write the request: %w", err)
	}
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("cannot write the request: %w", err)
	}
	answer, err = s.Client.do(ctx, call{
		method: http.MethodPut, path: path, query: s.reason(nil), body: text, match: strconv.Quote(strconv.FormatInt(r.Version, 10)),
	})
	if err != nil {
		return err
	}
	return s.printResult(answer)
}
