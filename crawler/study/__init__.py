"""The measurements of Yu et al. 2024 (arXiv 2411.07191) on one model: what `swindex study` puts on its page.

`options` (what may be told), `results` (the shape of what is measured; neither needs torch), `trace` (figures 4 and 5),
`rounded` (section 4), `tasks` (zero-shot tasks, with lm-eval), `whole` (all of it). Spikes, effects and coordinates
(figures 3 and 6, tables 1 and 2) are the scan's own record.
"""
