package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// settings are the fields of a settings file by name, and where their values go.
func (c *edgeCmd) settings() map[string]any {
	fields := map[string]any{
		"catalog": &c.Catalog, "origin": &c.Origin, "region": &c.Region, "ca": &c.CA, "bundle": &c.Bundle, "trust": &c.Trust,
		"secrets_allow": &c.SecretsAllow, "data": &c.Data, "name": &c.Name, "listen": &c.Listen, "admin": &c.Admin,
		"access_log": &c.AccessLog, "cache_memory": &c.CacheMemory, "cache_disk": &c.CacheDisk, "max_body": &c.MaxBody, "max_header": &c.MaxHeader,
		"read_timeout": &c.ReadTimeout, "drain": &c.Drain, "allow_origin": &c.AllowOrigin,
	}
	c.TLS.settings(fields)
	return fields
}

// readSettings reads a settings file into the fields that it may have, by name. Its error has one line for each fault,
// as FILE:LINE: what is wrong.
func readSettings(path string, fields map[string]any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the settings: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("cannot use the settings in %s: %w", path, err)
	}
	if len(document.Content) == 0 {
		return nil // an empty file settles nothing
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want settings, one a line, such as listen: \":8080\"", path, root.Line)
	}
	var faults []error
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if fault := setField(fields, key.Value, value); fault != "" {
			faults = append(faults, fmt.Errorf("%s:%d: %s", path, key.Line, fault))
		}
	}
	return errors.Join(faults...)
}

// setField puts one value where it belongs, once, or says why it does not.
func setField(fields map[string]any, name string, value *yaml.Node) (fault string) {
	into, known := fields[name]
	switch {
	case !known:
		return fmt.Sprintf("unknown setting %q", name)
	case into == nil:
		return fmt.Sprintf("setting %q stands twice", name)
	}
	fields[name] = nil
	if value.Decode(into) == nil {
		return ""
	}
	want := "a text"
	switch into.(type) {
	case *byteSize:
		want = "a size such as 64MiB"
	case *time.Duration:
		want = "a time such as 30s"
	case *bool:
		want = "true or false"
	case *[]string:
		want = "a list of texts"
	}
	return fmt.Sprintf("setting %q: want %s", name, want)
}
