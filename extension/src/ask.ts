import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';

import { Ask } from './notebook/front';

/** The kernel's own question about what a notebook wants to have, and the letters that answer it (its `grants.py`). */
const GRANT = /^([^]*\?) \[y\]es once, \[a\]lways, \[N\]o: $/;
const [NO, ONCE, ALWAYS] = ['n', 'y', 'a'];

/** Return what asks the person: with buttons where the kernel's question has its answers in it. */
export function asker(trans: TranslationBundle): Ask {
  const title = trans.__('The kernel asks');
  return async (prompt, password) => {
    const question = GRANT.exec(prompt);
    if (question) {
      const buttons = [
        Dialog.cancelButton({ label: trans.__('No') }),
        Dialog.createButton({ label: trans.__('Always'), actions: [ALWAYS] }),
        Dialog.createButton({ label: trans.__('Once'), actions: [ONCE] })
      ];
      const { button } = await showDialog({ title, body: question[1], buttons, defaultButton: 0 });
      return button.actions[0] ?? NO;
    }
    const options = { title, label: prompt };
    const answer = password
      ? await InputDialog.getPassword(options)
      : await InputDialog.getText(options);
    return answer.button.accept ? (answer.value ?? '') : null;
  };
}
