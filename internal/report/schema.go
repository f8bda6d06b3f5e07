package report

import _ "embed" // the schema

//go:embed report.schema.json
var schemaText string

// Schema is the JSON Schema of report.json (draft 2020-12), as it is published in
// docs/schema. It describes each field with its unit.
func Schema() string { return schemaText }
