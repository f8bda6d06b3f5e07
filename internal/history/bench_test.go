package history_test

import (
	"os"
	"testing"
	"time"

	"soakd/internal/history"
)

// half returns data of which half can be packed, as that of windows.
func half(n int, seed uint64) []byte { return append(noise(n/2, seed), make([]byte, n/2)...) }

// BenchmarkAppend is the batch of a minute: a window, and sometimes more. With
// synchronous=FULL most of it is the disk's.
func BenchmarkAppend(b *testing.B) {
	for name, p := range map[string]place{"sqlite": sqlitePlace(b), "postgres": postgresPlace(b)} {
		b.Run(name, func(b *testing.B) {
			s := p.open(b)
			id := begin(b, s, history.Run{})
			n := 0
			for b.Loop() {
				appendBatch(b, s, history.Batch{Run: id, Windows: []history.Window{{Level: time.Minute, Start: at.Add(time.Duration(n) * time.Minute), Data: half(10_000, uint64(n))}}})
				n++
			}
		})
	}
}

// BenchmarkReplay reads what a soakd reads when it starts again: 8 days of minutes.
func BenchmarkReplay(b *testing.B) {
	const rows = 8 * 24 * 60
	for name, p := range map[string]place{"sqlite": sqlitePlace(b), "postgres": postgresPlace(b)} {
		b.Run(name, func(b *testing.B) {
			s := p.open(b)
			id := begin(b, s, history.Run{})
			for n := 0; n < rows; n += 60 {
				windows := minutes(at.Add(time.Duration(n)*time.Minute), 60)
				for i := range windows {
					windows[i].Data = half(10_000, uint64(n+i))
				}
				appendBatch(b, s, history.Batch{Run: id, Windows: windows})
			}
			if info, err := os.Stat(s.Location()); err == nil {
				b.ReportMetric(float64(info.Size()), "file-bytes")
			}
			for b.Loop() {
				n := 0
				for _, err := range s.Windows(b.Context(), history.WindowQuery{Series: series, Level: time.Minute}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != rows {
					b.Fatalf("%d windows", n)
				}
			}
		})
	}
}
