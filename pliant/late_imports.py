"""The names of ``pliant`` that are slow to import, with the modules that define them."""

# Module of each name of ``pliant`` that is imported at its first use.
LATE = {
    "Comparison": "adaptation.runs.records",
    "Evaluation": "adaptation.runs.records",
    "PliantError": "robots.errors",
    "Policy": "adaptation.policy",
    "Run": "adaptation.runs.run",
    "RunsComparison": "adaptation.runs.records",
    "Transition": "policies.method",
    "TrialResult": "adaptation.runs.records",
    "VecWorld": "sim.vec_world",
    "load": "adaptation.policy",
    "rollout": "adaptation.policy",
    "transition": "adaptation.policy",
}
