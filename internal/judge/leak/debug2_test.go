package leak

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestWhy(t *testing.T) {
	seed, _ := strconv.Atoi(os.Getenv("SEED"))
	after, _ := strconv.ParseInt(os.Getenv("AFTER"), 10, 64)
	per, _ := strconv.ParseFloat(os.Getenv("PER"), 64)
	series := os.Getenv("SERIES")
	w := newWorld(uint64(seed), 2)
	for _, rep := range w.replicas {
		rep.memory.slowSD, rep.toothLength = 0.003, 2+0.4*rep.toothLength
	}
	t0 := w.minute + after
	w.restart = w.minute + 2000
	fmt.Printf("%+v %+v\n", w.replicas[0], w.replicas[0].memory)
	w.leak = func(name string, replica int, life, minute int64) float64 {
		if name != series || replica != 0 || minute < t0 {
			return 0
		}
		v := per / 60 * float64(min(minute-t0, life))
		if series != "memory" {
			v = float64(int(v))
		}
		return v
	}
	d := detector(t)
	for w.minute < t0+1200 {
		win := w.next()
		if win == nil {
			continue
		}
		syms := d.Observe(win)
		if w.minute < t0 {
			continue
		}
		for _, s := range d.order {
			if !strings.HasPrefix(s.id, os.Getenv("SIGNAL")) || !strings.Contains(s.id, `"a`) {
				continue
			}
			line := ""
			for i := range d.horizons {
				if d.end%d.horizons[i].cadence == 0 && d.horizons[i].length > 60 {
					v := d.look(s, i)
					line += fmt.Sprintf(" [%d: %s w%d %.3g]", d.horizons[i].length, v.why, v.width, v.slope.Slope)
				}
			}
			if line != "" && d.end%30 == 0 {
				fmt.Println(w.minute-t0, fmt.Sprintf("%.4g steady %t", s.last, s.current().steady), line)
			}
			if s.leak != nil {
				fmt.Println(w.minute-t0, syms[0].Text)
				return
			}
		}
	}
}
