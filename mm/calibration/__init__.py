"""How often trades reach each distance: points, fits and schedules of lambda(delta) = A exp(-k delta)."""
