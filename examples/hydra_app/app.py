"""Somebody's own Hydra app, tracked by two lines: the import, and the `with`.

python examples/hydra_app/app.py steps=10
python examples/hydra_app/app.py -m seed=0,1        # each member of a sweep is a run of its own
repro-track replay latest
"""

import hydra
from diffusers import DDIMPipeline
from omegaconf import DictConfig

import repro_track as rt


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> None:
    pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"))
    with rt.track(experiment="examples", seed=cfg.seed, config=cfg) as run:
        run(pipe, num_inference_steps=cfg.steps, output_type="np")
    print(run.run_id)


if __name__ == "__main__":
    main()
