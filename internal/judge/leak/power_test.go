package leak

import (
	"fmt"
	"testing"
)

func TestPowerDebug(t *testing.T) {
	type kind struct {
		series, signal string
		perHour        float64
	}
	for _, k := range []kind{
		{"memory", "soakd_api_resident_memory_bytes", 0.01 * memoryLimit},
		{"memory", "soakd_api_resident_memory_bytes", 0.6 * memoryLimit},
		{"files", "soakd_api_open_fds", 10.24},
		{"goroutines", "soakd_api_goroutines", 20},
		{"connections", "soakd_postgres_backends", 20},
		{"connections", "soakd_postgres_backends", 1},
	} {
		for _, after := range []int64{240, 600, 2000} {
			line := fmt.Sprintf("%s %.3g after %d:", k.series, k.perHour, after)
			for seed := range uint64(12) {
				w := newWorld(seed, 2)
				for _, rep := range w.replicas {
					rep.memory.slowSD, rep.toothLength = 0.003, 2+0.4*rep.toothLength
				}
				t0 := w.minute + after
				if after < 1000 {
					w.restart = w.minute + 2000
				} else {
					w.restart = w.minute + 1400
				}
				w.leak = func(name string, replica int, life, minute int64) float64 {
					if name != k.series || replica != 0 || minute < t0 {
						return 0
					}
					v := k.perHour / 60 * float64(min(minute-t0, life))
					if k.series != "memory" {
						v = float64(int(v))
					}
					return v
				}
				d := detector(t)
				first, at := run(t, d, w, after+20*60)
				text, other := "-", 0
				for i, f := range first {
					if f.Subject.Signal[:len(k.signal)] == k.signal && at[i] > t0 && text == "-" {
						text = fmt.Sprintf("%d(%d)", at[i]-t0, f.Onset.Unix()/60-t0)
					} else if at[i] < t0 {
						other++
					}
				}
				line += " " + text
				if other > 0 {
					line += fmt.Sprintf("+%d", other)
				}
			}
			fmt.Println(line)
		}
	}
}
