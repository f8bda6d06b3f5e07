package localservices

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// What is written on the primary is read on the replica.
func TestReplicaFollowsItsPrimary(t *testing.T) {
	dir := sharedDir(t)
	primary, err := StartPostgres(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	replica, err := StartPostgresReplica(t.Context(), primary, Options{Dir: dir})
	if err != nil {
		t.Fatal(err, primary.Stop())
	}
	defer func() {
		for _, err := range []error{replica.Stop(), primary.Stop()} {
			if err != nil {
				t.Error(err)
			}
		}
		assertNothingLeft(t, dir)
	}()
	if err := execSQL(t.Context(), primary.URL().Value(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), replica.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	eventually(t, "the row to arrive", func() bool {
		var n int
		return conn.QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n) == nil && n == 7
	})
}
