import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';

import { asker } from '../ask';

jest.mock('@jupyterlab/apputils', () => ({
  Dialog: { cancelButton: button, createButton: button },
  InputDialog: { getText: jest.fn(), getPassword: jest.fn() },
  showDialog: jest.fn()
}));

/** A button as JupyterLab makes it. */
function button(options: Partial<Dialog.IButton>): Partial<Dialog.IButton> {
  return { actions: [], ...options };
}

const GRANT = 'This notebook asks for limit:memory=4 GiB. Grant it? [y]es once, [a]lways, [N]o: ';

describe("what asks the kernel's questions", () => {
  const ask = asker(nullTranslator.load('cellstack'));

  it.each([
    ['No', 'n'],
    ['Always', 'a'],
    ['Once', 'y']
  ])('has a button %s for a grant, which answers %s', async (label, letter) => {
    jest.mocked(showDialog).mockImplementation(async options => {
      expect(options?.body).toBe('This notebook asks for limit:memory=4 GiB. Grant it?');
      const pressed = options!.buttons!.find(one => one.label === label)!;
      return { button: pressed, isChecked: null, value: null } as Dialog.IResult<unknown>;
    });
    expect(await ask(GRANT, false)).toBe(letter);
  });

  it.each([
    ['text', false],
    ['a password', true]
  ])('asks for %s otherwise; no answer is none', async (_, password) => {
    const dialog = jest.mocked(password ? InputDialog.getPassword : InputDialog.getText);
    const answered = (accept: boolean, value: string | null): unknown =>
      dialog.mockResolvedValue({ button: { accept }, value } as Dialog.IResult<string>);
    answered(true, 'Ada');
    expect(await ask('Your name? ', password)).toBe('Ada');
    answered(true, null);
    expect(await ask('Your name? ', password)).toBe('');
    answered(false, null);
    expect(await ask('Your name? ', password)).toBeNull();
  });
});
