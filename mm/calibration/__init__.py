"""How often trades reach each distance: points, fits and schedules of λ(δ) = A exp(-k δ)."""
