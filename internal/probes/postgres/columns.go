package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"soakd/internal/probes"
)

// column is a column of a statistics view that is a metric as it stands.
type column struct {
	view, name string
	// scale is put behind the name: "/ 1000" turns milliseconds into seconds.
	scale string
	// expression takes the place of name and scale; needs are then the columns of
	// the view that it reads.
	expression string
	needs      []string
	desc       *probes.Desc
	// labels are the label values after those that the row brings.
	labels []string
}

// sql is the column as it stands in a query.
func (c column) sql() string {
	if c.expression != "" {
		return "(" + c.expression + ")::float8"
	}
	return "(" + c.view + "." + c.name + c.scale + ")::float8"
}

// offered reports whether the server has what the column reads.
func (c column) offered(by *catalogue) bool {
	if c.expression != "" {
		return by.has(c.view, c.needs...)
	}
	return by.has(c.view, c.name)
}

// offeredOf leaves out what the server does not have.
func offeredOf(columns []column, by *catalogue) []column {
	var offered []column
	for _, c := range columns {
		if c.offered(by) {
			offered = append(offered, c)
		}
	}
	return offered
}

// table is a query with a row for each combination of label values.
type table struct {
	// labels are expressions of type text.
	labels []string
	// from is what follows FROM.
	from    string
	columns []column
}

// sql is the query as far as the server can answer it, and the columns that it
// asks for; "" when there are none.
func (t table) sql(by *catalogue) (string, []column) {
	columns := offeredOf(t.columns, by)
	if len(columns) == 0 {
		return "", nil
	}
	parts := make([]string, 0, len(t.labels)+len(columns))
	parts = append(parts, t.labels...)
	for _, c := range columns {
		parts = append(parts, c.sql())
	}
	return "SELECT " + strings.Join(parts, ", ") + " FROM " + t.from, columns
}

// read adds the values of every row, after label has had a look at the row's
// label values, changed in place; false leaves the row out. NULL is no value.
func (t table) read(ctx context.Context, s *session, reading *probes.Reading, label func([]string) bool, args ...any) error {
	query, columns := t.sql(s.catalogue)
	if query == "" {
		return nil
	}
	labels := make([]string, len(t.labels))
	values := make([]*float64, len(columns))
	targets := make([]any, 0, len(labels)+len(values))
	for i := range labels {
		targets = append(targets, &labels[i])
	}
	for i := range values {
		targets = append(targets, &values[i])
	}
	return s.rows(ctx, query, args, targets, func() error {
		if label != nil && !label(labels) {
			return nil
		}
		for i, c := range columns {
			addIf(reading, c.desc, values[i], append(append([]string{}, labels...), c.labels...)...)
		}
		return nil
	})
}

// readColumns reads columns of the one row of from. NULL is no value.
func readColumns(ctx context.Context, s *session, reading *probes.Reading, columns []column, from string) error {
	query, columns := table{from: from, columns: columns}.sql(s.catalogue)
	if query == "" {
		return nil
	}
	values := make([]*float64, len(columns))
	targets := make([]any, len(columns))
	for i := range columns {
		targets[i] = &values[i]
	}
	err := s.row(ctx, query, targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return probes.Because(probes.ReasonMissing, fmt.Errorf("%s gave no row", from))
	}
	if err != nil {
		return err
	}
	for i, c := range columns {
		addIf(reading, c.desc, values[i], c.labels...)
	}
	return nil
}
