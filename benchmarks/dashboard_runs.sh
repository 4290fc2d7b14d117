#!/usr/bin/env bash
# Trains the four runs of docs/dashboard.md on the demo data, about a minute each on one core: bash benchmarks/dashboard_runs.sh [FOLDER]
set -euo pipefail

folder=${1:-outputs/dashboard}
common=(trainer=cpu trainer.max_steps=400 trainer.check_val_every_n_epoch=null trainer.val_check_interval=40)

run() {
    acclimate train "${common[@]}" "hydra.run.dir=$folder/$1" "${@:2}"
}

run healthy method=dann_mcc data.num_source=3000
run never_adapted method=dann method.max_reversal=0 data.num_source=3000
# Certain predictions are rewarded, and diverse ones punished.
run collapsed method=dann data.num_source=3000 '+terms=[entropy_minimisation,information_maximisation]' \
    method.term_weights.entropy_minimisation=3 method.term_weights.information_maximisation=-2
# Two images of each class.
run memorised method=dann data.num_source=20
