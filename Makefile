# make book: build the book; make test: run the checks and the shorter chapters; make chapters: run the longer ones;
# make other-models: run five chapters with each of the other models (an hour or more);
# make today: the longer chapter, and the chapter with another model, whose turn it is today;
# make benchmark: what edits and sweeps cost, against budgets;
# make notebooks: run every notebook again and keep its outputs; make studio: serve the editing studio as a web page;
# make print: the built book as one file to read offline, and as a PDF where Chromium is installed, into _build/print;
# make plain: write the chapters without MyST syntax, as Colab gets them, into _build/plain;
# make home URL=https://github.com/OWNER/NAME: say where this repository lives;
# make release VERSION=0.1.0: tag a version, once every place that names it agrees.
PYTHON ?= python3
VENV := .venv/bin
# memory that one step of sampling frees is kept for the next instead of going back to the system: on Linux about a
# tenth of the time
KEEP_MEMORY := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592
PYTEST := CUDA_VISIBLE_DEVICES= $(KEEP_MEMORY) $(VENV)/python -m pytest
# chapters, and a check, that sample for minutes, the one whose turn it is today, and checks with a target of their own
LONGER := $(foreach name,04- 06- 07- 08- 09- 10- 11- 13- a1- w1- w2- checks/rivals,$(wildcard notebooks/$(name)*.ipynb))
TODAY := $(if $(LONGER),$(word $(shell expr $$(date +%s) / 86400 % $(words $(LONGER)) + 1),$(LONGER)))
APART := notebooks/checks/benchmark.ipynb notebooks/checks/other-models.ipynb

.PHONY: book print test chapters today benchmark other-models studio notebooks plain home release clean
.DEFAULT_GOAL := book

.venv/installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v else "Python %d.%d is too old: install Python 3.11 or newer, or run make with PYTHON=/path/to/python3" % v)'
	@echo "Creating .venv and installing what the book needs (several minutes the first time) ..."
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian and Ubuntu, install the package python3-venv"; exit 1; }
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt -e ".[book,test,studio]"
	@touch $@

book: .venv/installed
	@echo "Building the book from the committed outputs ..."
	@$(VENV)/jupyter-book build . -n -W --keep-going
	@echo "The book is built. Open $(CURDIR)/_build/html/index.html"

print: book
	@echo "Writing the book as one file ..."
	@$(VENV)/python book/tools/print_book.py

test: .venv/installed
	@echo "Running the checks and the shorter chapters, two at a time, and comparing their outputs; on two cores this takes ten minutes or more ..."
	@$(PYTEST) -n 2 --dist loadfile $(addprefix --ignore=,$(LONGER) $(APART))
	@echo "Not run: the longer chapters. make chapters runs them all (about thirty-five minutes), make today the one whose turn it is."

chapters: .venv/installed
	@echo "Running the longer chapters, two at a time; on two cores this takes thirty-five minutes or more ..."
	@$(PYTEST) -n 2 --dist loadfile $(LONGER)

today: .venv/installed
	@echo "Running $(TODAY), and one chapter with another model; this takes up to seven minutes ..."
	@$(PYTEST) -n 2 --dist loadfile $(TODAY) notebooks/checks/other-models.ipynb

other-models: .venv/installed
	@echo "Running five chapters with each of the other models; this takes an hour or more ..."
	@ALL_PAIRS=1 $(PYTEST) --nbval-cell-timeout=20000 notebooks/checks/other-models.ipynb

benchmark: .venv/installed
	@echo "Running the benchmark, alone; its times are those of an idle machine only ..."
	@CUDA_VISIBLE_DEVICES= $(VENV)/python -m pytest notebooks/checks/benchmark.ipynb

studio: .venv/installed
	@echo "Serving the studio; the address is in the lines below. Stop it with Ctrl-C."
	@$(VENV)/python -m voila book/studio.ipynb --no-browser --Voila.tornado_settings="{'websocket_max_message_size': 100000000}"

notebooks: .venv/installed
	@$(VENV)/python book/tools/run_notebooks.py $(ONLY)

plain: .venv/installed
	@$(VENV)/python book/tools/plain_notebooks.py _build/plain

home: .venv/installed
	@$(VENV)/python book/tools/set_home.py "$(URL)"

release: .venv/installed
	@$(VENV)/python book/tools/release.py "$(VERSION)"

clean:
	rm -rf _build .pytest_cache
