package leak

import (
	"fmt"
	"strings"
	"testing"
)

func TestDebug(t *testing.T) {
	for seed := uint64(10); seed < 11; seed++ {
		w := newWorld(seed, 2); for _, rep := range w.replicas { rep.memory.slowSD, rep.toothLength = 0.003, 2+0.4*rep.toothLength }; w.restart = w.minute+1400
		d := detector(t)
		start := w.minute
		seen := map[string]bool{}
		for w.minute < start+2000 {
			win := w.next()
			if win == nil {
				continue
			}
			for _, sym := range d.Observe(win) {
				if sym.Over || seen[sym.Key()] {
					continue
				}
				seen[sym.Key()] = true
				if !strings.Contains(sym.Text, "working") && !strings.Contains(sym.Text, "API") {
					continue
				}
				for _, s := range d.order {
					if s.leak == nil || s.id != sym.Subject.Signal || s.leak.onset == 0 {
						continue
					}
					h := s.leak.h
					v := verdict{width: int64(s.leak.width), load: s.leak.load, slope: s.leak.slope}
					rises := d.before(s, h, &v, v.slope.Slope*float64(h.length)/60).rises
					rep := w.replicas[0]
					for _, r := range w.replicas {
						if strings.Contains(s.labels, r.name) {
							rep = r
						}
					}
					fmt.Printf("seed %d min %d (life %d) h=%d block %d growth %.1f none=%t rises n=%d top %.3v last %v toothlen %.1f worker %.1f/%.2f base %.2f age-steady %d\n", seed, w.minute-start, w.minute-rep.born, h.length, s.leak.width, v.slope.Slope*float64(h.length)/60, v.load.none, len(rises), rises, s.last, rep.toothLength, rep.workerLength, rep.workerTooth, rep.base, s.current().ready-s.current().from)
					var vals []string
					for _, p := range d.points(s, d.end-12*h.length, d.end, 20,nil) {
						vals = append(vals, fmt.Sprintf("%.1f", p.y/(1<<20)))
					}
					fmt.Println(s.id, strings.Join(vals, " "))
				}
			}
		}
	}
}
